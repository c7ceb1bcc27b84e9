require("./lib/a")
