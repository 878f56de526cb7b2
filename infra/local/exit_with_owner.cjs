// Loaded into Azurite: its standard input closes when the process that started it ends or dies.
// Azurite then writes what it has in memory to its folder; if that takes too long, it ends without.
const SECONDS = 4;
const end = () => {
  setTimeout(() => process.exit(), SECONDS * 1000).unref();
  process.kill(process.pid, "SIGTERM");
};
process.stdin.resume();
process.stdin.on("end", end);
process.stdin.on("error", end);
