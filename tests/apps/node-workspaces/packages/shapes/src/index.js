const isNumber = require('is-number');

exports.area = (width, height) => {
  if (!isNumber(width) || !isNumber(height)) throw new TypeError('width and height are numbers');
  return width * height;
};
