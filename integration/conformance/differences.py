"""Where moto is wrong or lenient: the step, and why the region answers otherwise."""

REASONS = {}
