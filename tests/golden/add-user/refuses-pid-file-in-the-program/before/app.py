import os

with open("/var/run/app.pid", "w") as f:
    f.write(str(os.getpid()))
