"""A guest book: POST writes a line, GET reads them all."""
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

FILE = os.environ["GUESTBOOK"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            with open(FILE, "a"):
                return self.answer("the book can be written\n")
        with open(FILE) as book:
            self.answer(book.read())

    def do_POST(self):
        line = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(FILE, "a") as book:
            book.write(line.strip() + "\n")
        self.answer("thank you\n")

    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())


HTTPServer(("", 8090), Handler).serve_forever()
