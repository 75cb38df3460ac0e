"""What runs in docker-compose.yml's containers besides the `narrows` command itself."""
