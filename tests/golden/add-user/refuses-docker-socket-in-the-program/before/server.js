const d = new Docker({ socketPath: "/var/run/docker.sock" })
