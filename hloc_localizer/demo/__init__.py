"""The demonstration: a rendered room, two drives through it, a map, a robot that finds itself."""
