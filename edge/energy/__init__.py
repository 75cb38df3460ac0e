"""What a device spends: sensors of energy behind one interface, and a model where there is none.

counters (rapl)                               -> Sensor: joules
meters (ina3221, pmic, nvml, um25c) -> Integral -> Sensor: joules
processor time (cpu_time, boards.toml) -> model -> Sensor: joules, and says so
"""
