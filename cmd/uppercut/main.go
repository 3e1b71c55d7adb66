// Command uppercut is a syslog appliance that lets a mail fleet hit back.
package main

func main() {}
