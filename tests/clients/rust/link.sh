#!/bin/sh
# Prepares FOLDER for pkg-config, so that the crate `tensorflow` links to the libraries of TensorFlow's Python package
# and does not download its own: sh link.sh PACKAGE FOLDER
set -eu
mkdir -p "$2"
ln -sf "$1/libtensorflow_cc.so.2" "$2/libtensorflow.so"
ln -sf "$1/libtensorflow_framework.so.2" "$2/libtensorflow_framework.so"
cat > "$2/tensorflow.pc" <<END
Name: tensorflow
Description: the libraries of TensorFlow's Python package
Version: 2
Libs: -L$2 -ltensorflow -ltensorflow_framework
END
