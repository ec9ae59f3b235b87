"""Books made up from a seed: masters, months of trade, nights of business."""
