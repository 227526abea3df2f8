# mixgraph on a CPU:    docker build --tag mixgraph .
# on a GPU:             docker build --tag mixgraph --build-arg BASE=IMAGE .
# where IMAGE has CUDA, and Python 3.11 or later as `python`. To run, with the folders that are read and written:
#   docker run --rm --volume "$PWD:/work" mixgraph fit songs/my_song        (on a GPU: add --gpus all --ipc=host)
ARG BASE=python:3.11-slim
FROM ${BASE}

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

# Dependencies first, in the versions that were tested, each file of the hash that is known: a change of the code leaves
# this layer as it is. The package is built with the setuptools among them, and nothing else is fetched.
WORKDIR /mixgraph
COPY requirements.lock ./
RUN python -m pip install --require-hashes --requirement requirements.lock

COPY . .
RUN python -m pip install --no-deps --no-build-isolation .

# Not root: what is written to a volume belongs to this user. For another one: docker run --user "$(id -u):$(id -g)".
RUN useradd --create-home --uid 1000 mixgraph && mkdir --parents /work && chown mixgraph /work
ENV HOME=/home/mixgraph MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
USER mixgraph
WORKDIR /work
ENTRYPOINT ["python", "-m", "mixgraph"]
CMD ["--help"]
