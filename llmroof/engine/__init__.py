"""From operators and hardware to times, memory, throughput and cost: pure numpy."""
