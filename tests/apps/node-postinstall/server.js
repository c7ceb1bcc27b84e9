const http = require('http');
const ms = require('ms');

http.createServer((req, res) => {
  if (req.url === '/healthz') {
    res.end('ok\n');
  } else {
    res.end(`open again in ${ms(ms('48h'), { long: true })}\n`);
  }
}).listen(process.env.PORT || 3000);
