package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"time"
)

const (
	// startTimeout is how long a server may take until it answers; recovery after
	// a kill is part of it.
	startTimeout = time.Minute
	// stopTimeout is how long one may take to stop, its last checkpoint included.
	stopTimeout = 30 * time.Second
	// pollEvery is how often something is looked at again that nobody announces.
	pollEvery = 5 * time.Millisecond
)

// account is whom servers run as: uid and gid, or nobody else than us.
type account struct {
	other    bool
	uid, gid int
}

// serverAccount returns it: the user postgres for root.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{}, fmt.Errorf("%w: root needs a user postgres to run servers as: %w", ErrMissing, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("pgtest: user postgres: %w", err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("pgtest: user postgres: %w", err)
	}
	return account{other: true, uid: uid, gid: gid}, nil
}

// own gives a file to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// command prepares a program that ends with this process. Nothing of our own
// environment reaches it: PGDATA, PGPORT and the like would change what it does.
func (a account) command(ctx context.Context, dir, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TZ=UTC", "LC_ALL=C"}
	if runs := os.Getenv("LD_LIBRARY_PATH"); runs != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+runs)
	}
	setAttributes(cmd, a)
	return cmd
}

// process is a server that runs. It has no goroutine of its own, so that tests
// which look for leaks see none while it runs.
type process struct {
	cmd *exec.Cmd
	log string // path of what it prints
}

// launch starts a server that outlives the call.
func launch(a account, dir, log, path string, args ...string) (*process, error) {
	cmd := a.command(context.Background(), dir, path, args...)
	// A file, and not a pipe: nobody has to read it, and it is there when the
	// server is dead.
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, log: log}, nil
}

// ready waits until probe finds that the server serves.
func (p *process) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		if gone(p.cmd.Process.Pid) {
			return false, errors.New("it ended")
		}
		return probe(ctx) == nil, nil
	})
	if err != nil {
		return fmt.Errorf("pgtest: %s does not serve: %w; its log ends with:\n%s", p.cmd.Path, err, logTail(p.log))
	}
	return nil
}

// wait waits until the process has ended, and kills it when it does not.
func (p *process) wait() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.cmd.Wait() // it was told to end; how it ended says nothing
	}()
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill() // an error means that it is gone
	<-done
	return fmt.Errorf("pgtest: %s did not stop within %s and was killed; its log ends with:\n%s", p.cmd.Path, stopTimeout, logTail(p.log))
}

// kill ends the process and its children without giving them a say, and returns
// once none of them runs.
func (p *process) kill() error {
	children := killTree(p.cmd)
	if err := p.wait(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for _, pid := range children {
		if err := poll(ctx, func() (bool, error) { return gone(pid), nil }); err != nil {
			return fmt.Errorf("pgtest: process %d outlives its kill: %w", pid, err)
		}
	}
	return nil
}

// poll asks until done answers true or fails, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// logTail returns the end of a log, or why there is none.
func logTail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}
