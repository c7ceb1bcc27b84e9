sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
run(reuse_port=1)
