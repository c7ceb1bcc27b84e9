import http from 'node:http';
import { count } from './count.js';

const port = Number(process.env.PORT ?? 8000);
http.createServer((req, res) => {
  if (req.url === '/healthz') return res.end('ok\n');
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(count('the quick brown fox')));
}).listen(port, () => console.log(`counter on ${port}`));
