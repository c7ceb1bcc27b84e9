const http = require('http');
const ms = require('ms');
const { area } = require('@geometry/shapes');

const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost');
  if (url.pathname === '/healthz') return res.end('ok\n');
  try {
    res.end(`${area(url.searchParams.get('w'), url.searchParams.get('h'))}\n`);
  } catch (e) {
    res.statusCode = 400;
    res.end(`${e.message}\n`);
  }
});
server.keepAliveTimeout = ms('5s');
server.listen(3000);
