# The image of the SDK workers of a Beam engine: Python, the lock and bitext. Build it in the checkout:
#
#   docker build -f docker/worker.Dockerfile -t registry.example.org/bitext-worker:0.2.0 .
#
# The versions must be those of the machine that runs `bitext`; a worker with others is refused. For CPython 3.13:
#
#   docker build -f docker/worker.Dockerfile --build-arg PYTHON=3.13 --build-arg BEAM=2.77.0 -t NAME .
ARG PYTHON=3.11
ARG BEAM=2.72.0
FROM apache/beam_python${PYTHON}_sdk:${BEAM} AS beam

FROM python:${PYTHON} AS build
WORKDIR /src
COPY requirements requirements
# uv, with the hashes of the lock.
RUN cp "requirements/py$(python -c 'import sys; print("%d%d" % sys.version_info[:2])').txt" lock.txt \
 && awk '/^uv==/{on=1} on{print} on && !/\\$/{exit}' lock.txt > uv.txt \
 && python -m venv tools && tools/bin/pip install --quiet --require-hashes --requirement uv.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY bitext bitext
COPY components components
COPY pipeline pipeline
COPY schemas schemas
# The wheel, built with the setuptools of the lock; then what it needs, in the versions and with the hashes of the lock.
RUN tools/bin/uv pip install --quiet --python tools/bin/python setuptools wheel --constraint lock.txt \
 && tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
RUN tools/bin/uv pip install --quiet --python "$(command -v python)" --compile-bytecode --constraint lock.txt dist/*.whl

FROM python:${PYTHON}-slim
COPY --from=build /usr/local /usr/local
COPY --from=beam /opt/apache/beam /opt/apache/beam
ENTRYPOINT ["/opt/apache/beam/boot"]
