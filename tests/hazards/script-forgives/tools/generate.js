require('fs').writeFileSync('generated.txt', 'made by npm ci\n');
