"""Storage driver that keeps everything in memory."""
