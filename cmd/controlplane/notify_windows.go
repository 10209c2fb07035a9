package main

// notifySystemd does nothing: there is no systemd to tell, and package
// agent/service speaks to the service control manager.
func notifySystemd(string) error { return nil }
