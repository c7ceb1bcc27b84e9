console.log(process.env.RELEASE);
