const fs = require('fs');
const http = require('http');
const path = require('path');
const ms = require('ms');

const page = path.join(__dirname, 'public', 'index.html');
fs.appendFileSync(path.join(__dirname, 'starts.log'), `${new Date().toISOString()}\n`);
http.createServer((req, res) => {
  res.setHeader('x-open-for', ms('6h'));
  fs.createReadStream(page).pipe(res);
}).listen(3300);
