# Face Organizer on the processor. Mount one folder that holds (or will hold) inbox/ and library/:
#
#   docker build -t face-organizer .
#   docker run -d --stop-timeout 45 -v "$PWD/photos:/data" --user "$(id -u):$(id -g)" face-organizer
#
# One folder, not two: between two mounts every image would be copied instead of moved.
FROM python:3.11-slim-bookworm

WORKDIR /opt/face-organizer
# The wheels carry their own libraries: nothing is needed from Debian.
COPY requirements/cpu.txt requirements/cpu.txt
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/cpu.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY daemon daemon
COPY config config
COPY systemd systemd
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

RUN useradd --system --user-group --uid 10001 face-organizer \
    && install -d -m 755 -o face-organizer -g face-organizer /data /data/inbox /data/library \
    && install -d -m 1777 /var/cache/face-organizer
ENV XDG_CACHE_HOME=/var/cache PYTHONUNBUFFERED=1
USER face-organizer
VOLUME /data

# SIGTERM finishes what is on its way; `docker kill -s HUP` reads the configuration again and re-clusters.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
    CMD ["face-organizer", "status", "--library", "/data/library"]
ENTRYPOINT ["face-organizer"]
CMD ["run", "--inbox", "/data/inbox", "--library", "/data/library"]
