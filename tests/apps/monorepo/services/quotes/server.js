const http = require('http');
const ms = require('ms');
const quotes = require('../../shared/quotes.json');

http.createServer((req, res) => {
  res.setHeader('cache-control', `max-age=${ms('1h') / 1000}`);
  res.end(`${quotes[0]}\n`);
}).listen(3200);
