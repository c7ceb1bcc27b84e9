import Config
config :hello, port: 4000
