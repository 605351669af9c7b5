//go:build ts180

package main

import (
	"tailscale.com/control/controlclient"
	"tailscale.com/net/netmon"
	"tailscale.com/net/tsdial"
	"tailscale.com/types/key"
)

// newControl is the control client of v1.80 to v1.86.
func newControl(s server, machine key.MachinePrivate, noise key.MachinePublic) (doer, func(), error) {
	dialer := &tsdial.Dialer{Logf: quiet}
	dialer.SetNetMon(netmon.NewStatic())
	c, err := controlclient.NewNoiseClient(controlclient.NoiseOpts{
		PrivKey:      machine,
		ServerPubKey: noise,
		ServerURL:    s.url(""),
		Dialer:       dialer,
		Logf:         quiet,
		NetMon:       netmon.NewStatic(),
	})
	if err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close() }, nil
}
