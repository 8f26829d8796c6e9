import java.nio.charset.StandardCharsets;
import java.util.Map;

import org.tensorflow.SavedModelBundle;
import org.tensorflow.TensorFlow;
import org.tensorflow.types.TString;

/** Translates standard input, a sentence a line, with the SavedModel in the folder args[0]. */
class Translate {
  public static void main(String[] args) throws Exception {
    String[] lines =
        new String(System.in.readAllBytes(), StandardCharsets.UTF_8).lines().toArray(String[]::new);
    try (var model = SavedModelBundle.load(args[0], SavedModelBundle.DEFAULT_TAG);
        var text = TString.vectorOf(lines);
        var answer = model.function("serving_default").call(Map.of("text", text))) {
      var out = new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8);
      ((TString) answer.get("text").orElseThrow()).scalars().forEach(s -> out.println(s.getObject()));
      System.err.println("TensorFlow " + TensorFlow.version() + ", Java " + Runtime.version());
    }
  }
}
