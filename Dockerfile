# docker build -t batchchat .
# docs/recipes.md has how it is run. The wheel is built in one stage and installed in the next: no source is in the image.
FROM python:3.11-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.11-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --root-user-action=ignore /wheels/*.whl
# A new volume takes over the owner of the folder it is mounted on.
RUN install --directory --owner=1000 --group=1000 /work
USER 1000:1000
WORKDIR /work
VOLUME /work
# The first SIGTERM lets what is in flight finish: `docker stop --time` must be longer than the job's `drain`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["batchchat"]
CMD ["--help"]
