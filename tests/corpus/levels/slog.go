// Logs as Go's slog does by default.
package main

import (
	"log"
	"log/slog"
)

func main() {
	slog.Info("loaded", "rows", 442)
	slog.Warn("loss grows", "loss", 0.5)
	slog.Error("no data", "path", "/data/train.csv")
	log.Println("epoch 3 done")
}
