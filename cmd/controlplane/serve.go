package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/cli"
	"latchkey/controlplane"
	"latchkey/controlplane/api"
	"latchkey/controlplane/feed"
)

// stopTime is how long a stop may take. Waiting instances are let go at once, so
// what is left are calls that run.
const stopTime = 15 * time.Second

func newServe() *cobra.Command {
	cfg := defaultConfig()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server. The first start makes what it needs in the data directory: a
database, a certificate authority and a certificate for this machine's names, keys,
and the first administrator's credentials. It prints what it made, and where.

It runs until it gets an interrupt or SIGTERM, writes its log to standard error, and
says READY to systemd. A file for --config has a line for a flag, such as listen: ":8443",
and a list for --name.`,
		Example: `  latchkey serve --data-dir /var/lib/latchkey-server --listen :8443 --name latchkey.example.com`,
		Args:    cli.Args(),
	}
	f := cmd.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "data `DIR`; made on the first start")
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "`ADDRESS` to listen on by TLS, HOST:PORT or :PORT")
	f.StringArrayVar(&cfg.Names, "name", nil, "`NAME` or address that clients reach this server by; repeat for more")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM `FILE` with a certificate of your own and its chain, leaf first; join tokens pin the key of the last")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "PEM `FILE` with the key of --tls-cert")
	f.StringVar(&cfg.AccountID, "account-id", cfg.AccountID, "12-digit account `ID` in ARNs")
	f.StringVar(&cfg.Region, "region", cfg.Region, "`REGION` in ARNs and signatures")
	f.BoolVar(&cfg.Verbose, "verbose", false, "log the waits of instances and refused connections too")
	cli.ConfigFlag(cmd)
	cli.Settings(cmd, "data-dir", "listen", "name", "tls-cert", "tls-key", "account-id", "region", "verbose")
	cli.Require(cmd, "data-dir", "listen")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cfg.validate(); err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// serve runs the server until ctx ends. What it says about itself goes to out,
// the log to logs.
func serve(ctx context.Context, cfg config, out, logs io.Writer) (err error) {
	// First what can fail and changes nothing.
	cert, err := ownCertificate(cfg)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return listenError(cfg.Listen, err)
	}
	defer listener.Close()
	data, err := openData(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	level := slog.LevelInfo
	if cfg.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level}))
	if cert == nil {
		cert = dirCertificate(data.dir)
	}
	server, err := newServer(ctx, cfg, data, cert, log)
	if err != nil {
		return err
	}
	for _, line := range data.made {
		fmt.Fprintln(out, "made", line)
	}
	at := endpoint{URL: clientURL(listener.Addr(), cert.name), CA: cert.ca, Region: cfg.Region, AccountID: cfg.AccountID}
	if err := writeEndpoint(cfg.DataDir, at); err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on %s, listening on %s\n", at.URL, listener.Addr())
	if data.firstRun {
		fmt.Fprintf(out, "try:\n%s\n", tryThis(data.dir, at))
	}
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { watchInstances(watched, data.controlPlane.Watch(), log) })
	defer func() { stop(); watching.Wait() }()
	return run(ctx, server, listener, logs)
}

// watchEvery is how often instances are looked at for those that have fallen silent.
const watchEvery = time.Minute

// watchInstances logs which instances fall silent or do not follow, until ctx ends.
func watchInstances(ctx context.Context, w *controlplane.Watch, log *slog.Logger) {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		turns, err := w.Look(ctx)
		if err != nil && ctx.Err() == nil {
			log.Error("instances are not looked at", "reason", err)
		}
		for _, t := range turns {
			tellTurn(log, t)
		}
	}
}

// tellTurn logs one, as a warning where somebody has to see to it.
func tellTurn(log *slog.Logger, t controlplane.Turn) {
	about := []any{"instance", t.Instance.String(), "hostname", t.Hostname, "stack", t.Stack.String(), "seen", t.LastSeen.UTC().Format(time.RFC3339)}
	switch t.Standing {
	case controlplane.StandingLost:
		log.Warn("instance has fallen silent", about...)
	case controlplane.StandingBehind:
		log.Warn("instance is heard and does not follow", about...)
	default:
		log.Info("instance keeps up again", about...)
	}
}

// newServer wires the parts.
func newServer(ctx context.Context, cfg config, data *data, cert *certificate, log *slog.Logger) (*http.Server, error) {
	cp, err := controlplane.New(ctx, controlplane.Config{
		Store: data.store, Signer: data.dir.Signer(), VerifierKeys: data.dir.VerifierKeys(), Pin: cert.pin,
		Account: cfg.AccountID, Region: cfg.Region, Secrets: data.dir.Sealer(), AgentVersion: version,
	})
	if err != nil {
		return nil, err
	}
	data.controlPlane = cp
	if data.firstRun, err = cp.FirstRun(ctx, data.dir.AdminKey); err != nil {
		return nil, err
	}
	if data.firstRun {
		data.made = append(data.made, "administrator's credentials "+data.dir.AdminCredentialsPath())
	}
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("/", api.New(api.Config{ControlPlane: cp, Region: cfg.Region, Log: log}))
	mux.Handle("/agent/v1/", feed.New(feed.Config{ControlPlane: cp, Log: log, Stop: stop}))
	server := api.NewServer(mux, cert.config, data.ready, log)
	server.RegisterOnShutdown(func() { close(stop) })
	return server, nil
}

// run serves until ctx ends and then stops: no new calls, running ones finish.
// Past its time it prints what still runs, and fails.
func run(ctx context.Context, server *http.Server, listener net.Listener, logs io.Writer) error {
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(listener, "", "") }()
	if err := notifySystemd("READY=1"); err != nil {
		return errors.Join(err, server.Close(), ignoreClosed(<-ended))
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := server.Shutdown(limit)
	if err != nil {
		err = fmt.Errorf("stop within %s: %v", stopTime, err)
		err = errors.Join(err, server.Close(), pprof.Lookup("goroutine").WriteTo(logs, 1))
	}
	return errors.Join(err, ignoreClosed(<-ended))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
