use std::error::Error;
use std::io::{self, BufRead};

use tensorflow::{
    Graph, Operation, SavedModelBundle, SessionOptions, SessionRunArgs, SignatureDef, Tensor,
};

/// Translates standard input, a sentence a line, with the SavedModel in the folder of the first argument.
fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: translate FOLDER < sentences")?;
    let mut graph = Graph::new();
    let model = SavedModelBundle::load(&SessionOptions::new(), ["serve"], &mut graph, folder)?;
    let signature = model.meta_graph_def().get_signature("serving_default")?;
    let (input, output) = (
        operation(&graph, signature, "text", true)?,
        operation(&graph, signature, "text", false)?,
    );

    let lines = io::stdin()
        .lock()
        .lines()
        .collect::<Result<Vec<String>, _>>()?;
    let text = Tensor::new(&[lines.len() as u64]).with_values(&lines)?;
    let mut arguments = SessionRunArgs::new();
    arguments.add_feed(&input.0, input.1, &text);
    let token = arguments.request_fetch(&output.0, output.1);
    model.session.run(&mut arguments)?;
    for translation in arguments.fetch::<String>(token)?.iter() {
        println!("{translation}");
    }
    eprintln!("TensorFlow {}", tensorflow::version()?);
    Ok(())
}

/// Returns the operation and the index of the tensor that a name of a signature stands for.
fn operation(
    graph: &Graph,
    signature: &SignatureDef,
    name: &str,
    is_input: bool,
) -> Result<(Operation, i32), Box<dyn Error>> {
    let info = if is_input {
        signature.get_input(name)?
    } else {
        signature.get_output(name)?
    };
    Ok((
        graph.operation_by_name_required(&info.name().name)?,
        info.name().index,
    ))
}
