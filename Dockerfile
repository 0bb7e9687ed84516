# Face Organizer in a container. Mount one folder that holds (or will hold) inbox/ and library/:
#
#   docker build --target cpu -t face-organizer .            # or cuda, cuda-pascal
#   docker run -d --stop-timeout 45 -v "$PWD/photos:/data" --user "$(id -u):$(id -g)" face-organizer
#   docker run -d --stop-timeout 45 -v "$PWD/photos:/data" --user "$(id -u):$(id -g)" --gpus all face-organizer
#
# or `docker compose up -d` with compose.yaml. One folder, not two: between two mounts every image would be copied
# instead of moved. cuda: Turing (compute capability 7.5) and later, driver 580 or later. cuda-pascal: Pascal and Volta,
# driver 525 or later. CUDA and cuDNN come as Python packages; of the host only its driver is used, which NVIDIA's
# container toolkit puts in. `docker exec NAME face-organizer doctor` says whether it all fits together.
FROM python:3.11-slim-bookworm AS base

WORKDIR /opt/face-organizer
# The wheels carry their own libraries: nothing is needed from Debian.
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 XDG_CACHE_HOME=/var/cache PYTHONUNBUFFERED=1
RUN useradd --system --user-group --uid 10001 face-organizer \
    && install -d -m 755 -o face-organizer -g face-organizer /data /data/inbox /data/library \
    && install -d -m 1777 /var/cache/face-organizer
# SIGTERM finishes what is on its way; `docker kill -s HUP` reads the configuration again and re-clusters.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
    CMD ["face-organizer", "status", "--library", "/data/library"]
# The page and the HTTP interface, where they are asked for: CMD [..., "--web", "0.0.0.0:8765"] and `-p 127.0.0.1:8765:8765`.
# A token is needed then; the log says in which file it is (`docker exec NAME cat /data/library/.face-organizer/web-token`).
EXPOSE 8765
# /data: inbox and library. /var/cache/face-organizer: the networks, made ready at the first start.
VOLUME ["/data", "/var/cache/face-organizer"]
ENTRYPOINT ["face-organizer"]
CMD ["run", "--inbox", "/data/inbox", "--library", "/data/library"]

FROM base AS cuda
COPY requirements/cuda.txt requirements/cuda.txt
RUN pip install --require-hashes --only-binary :all: -r requirements/cuda.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY daemon daemon
COPY config config
COPY systemd systemd
RUN pip install --no-deps --no-build-isolation .
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER face-organizer

FROM base AS cuda-pascal
COPY requirements/cuda-pascal.txt requirements/cuda-pascal.txt
RUN pip install --require-hashes --only-binary :all: -r requirements/cuda-pascal.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY daemon daemon
COPY config config
COPY systemd systemd
RUN pip install --no-deps --no-build-isolation .
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER face-organizer

# The last one is what a plain `docker build .` makes.
FROM base AS cpu
COPY requirements/cpu.txt requirements/cpu.txt
RUN pip install --require-hashes --only-binary :all: -r requirements/cpu.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY daemon daemon
COPY config config
COPY systemd systemd
RUN pip install --no-deps --no-build-isolation .
USER face-organizer
