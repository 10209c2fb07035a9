package e2e_test

const launchEnv = ""

func launch() int { return 1 }
