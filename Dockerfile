# docker build -t engram-local . && docker run --rm -p 8080:8080 -e ENGRAM_LOCAL_API_KEY=... engram-local
# docker run --rm -it engram-local chat
FROM python:3.13-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python -m venv /opt/engram-local && /opt/engram-local/bin/pip install --no-cache-dir '.[serve]'

FROM python:3.13-slim
COPY --from=build /opt/engram-local /opt/engram-local
RUN useradd --create-home --uid 10001 engram
USER 10001
WORKDIR /home/engram
ENV PATH=/opt/engram-local/bin:$PATH ORT_DISABLE_TELEMETRY=1
ENTRYPOINT ["engram-local"]
EXPOSE 8080
CMD ["serve", "--host", "0.0.0.0"]
