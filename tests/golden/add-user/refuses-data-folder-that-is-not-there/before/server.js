require("./lib").start(process.env.DATA_DIR)
