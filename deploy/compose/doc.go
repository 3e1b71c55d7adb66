// Package compose holds what docker-compose.yml mounts beside our own files, and
// the tests of that file and of the image: read as Compose and BuildKit read
// them, built and run without a container engine.
package compose
