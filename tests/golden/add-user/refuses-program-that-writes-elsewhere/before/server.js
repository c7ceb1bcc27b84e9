const log = require('path').join(__dirname, '../../logs/x.log');
require('fs').appendFileSync(log, 'x');
