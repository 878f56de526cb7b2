// Loaded into Azurite: its standard input closes when the process that started it ends or dies.
process.stdin.resume();
process.stdin.on("end", () => process.exit());
process.stdin.on("error", () => process.exit());
