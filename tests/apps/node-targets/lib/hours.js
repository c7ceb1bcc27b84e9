const ms = require('ms');

exports.hours = (text) => ms(text) / ms('1h');
