# Orthanc of Debian 13 with the plugin, installed by the same steps as anywhere else (./run install).
#
#   docker build -t orthanc-chest-ai .
#   docker run --gpus all -p 8042:8042 -p 4242:4242 -v chest-ai:/var/lib/orthanc/db-v6 \
#       -v ./users.json:/etc/orthanc-chest-ai/users.json:ro orthanc-chest-ai
#
# users.json: {"RemoteAccessAllowed": true, "RegisteredUsers": {"mary": "a password of her own"}}. Without it
# Orthanc answers nobody over HTTP; what comes over DICOM is read all the same. Remote access stands in that
# file because Orthanc 1.12.7, allowed to answer without a user, makes one itself: orthanc, password orthanc.
# Any other option of Orthanc, or the section ChestAI, comes the same way: a file in that folder.

FROM debian:trixie-slim

# gpu: ONNX Runtime with CUDA and cuDNN, which also runs on a host without a GPU; cpu: 2 GB smaller.
ARG ACCELERATOR=gpu
# celery: with what the engine "celery" needs, for Orthanc and for its workers (deploy/).
ARG ENGINE=embedded

WORKDIR /opt/orthanc-chest-ai
COPY run ./
COPY plugin/requirements-cpu.txt plugin/requirements-gpu.txt plugin/requirements-worker.txt plugin/
RUN CHEST_AI_ACCELERATOR=$ACCELERATOR ./run install $([ $ENGINE = embedded ] || echo --$ENGINE) \
    && apt-get -qq install --no-install-recommends -y curl \
    && rm -rf /var/lib/apt/lists/* /root/.cache

COPY LICENSE README.md orthanc.json ./
COPY plugin plugin
COPY onnx_models onnx_models

# A password is asked of everybody, also inside the container. RemoteAccessAllowed and the section ChestAI are
# left to the site: Orthanc refuses two files that hold the same section.
RUN .venv/bin/python -m compileall -q plugin \
    && install -d /etc/orthanc-chest-ai \
    && install -d -o orthanc -g orthanc /var/lib/orthanc/db-v6 \
    && .venv/bin/python -c 'import json; all = json.load(open("orthanc.json")); del all["ChestAI"], all["RemoteAccessAllowed"]; \
        print(json.dumps(all | {"AuthenticationEnabled": True}, indent=2))' \
        >/etc/orthanc-chest-ai/orthanc.json

USER orthanc
VOLUME /var/lib/orthanc/db-v6
EXPOSE 8042 4242

# 401: Orthanc answers and asks for a password, which is as much as a check without one can know.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8042/ai/status | grep -Eqx '200|401'

STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/sbin/Orthanc"]
CMD ["/etc/orthanc-chest-ai"]
