# JupyterLab with labkit and the notebooks; Kafka and Redis run beside it (docker-compose.yml).
FROM python:3.13.14-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /src
COPY requirements.lock .
RUN python -m pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY labkit labkit
RUN python -m pip install --no-deps --no-build-isolation . \
    && useradd --create-home --uid 1000 student

USER student
WORKDIR /home/student
COPY --chown=student:student notebooks notebooks

EXPOSE 8888
# a fresh token at each start, written to the log; kernels are stopped with the server
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", "--ServerApp.port_retries=0"]
