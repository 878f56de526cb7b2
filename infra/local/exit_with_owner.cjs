// Loaded into Azurite: its standard input ends with the process that started it, however that dies.
process.stdin.resume();
process.stdin.on("end", () => process.exit());
process.stdin.on("error", () => process.exit());
