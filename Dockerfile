# The two commands of README.md in a container; docs/containers.md says how to use it.
# Never built: no Docker was at hand where this was written.
FROM ubuntu:24.04

WORKDIR /scenedino_ros
COPY . .

# Like every first call of a command this installs what the package needs, about 6 GB.
RUN ./demo.sh --help

CMD ["./demo.sh"]
