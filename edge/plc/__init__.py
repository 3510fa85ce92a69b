"""Modbus link, register map, ejector schedule and heartbeat."""
