//go:build !ts180

package main

import (
	"tailscale.com/control/ts2021"
	"tailscale.com/net/netmon"
	"tailscale.com/net/tsdial"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
)

// newControl is the control client of v1.90 and later.
func newControl(s server, machine key.MachinePrivate, noise key.MachinePublic) (doer, func(), error) {
	dialer := tsdial.NewDialer(netmon.NewStatic())
	dialer.Logf = quiet
	c, err := ts2021.NewClient(ts2021.ClientOpts{
		PrivKey:         machine,
		ServerPubKey:    noise,
		ServerURL:       s.url(""),
		Dialer:          dialer,
		Logf:            quiet,
		NetMon:          netmon.NewStatic(),
		ProtocolVersion: uint16(tailcfg.CurrentCapabilityVersion),
	})
	if err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close() }, nil
}
