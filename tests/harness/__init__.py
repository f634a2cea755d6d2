"""What integration, compatibility and fault tests share: ports, broker processes, data sets, measurements."""
