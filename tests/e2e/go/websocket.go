package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
	"tailscale.com/control/controlbase"
	"tailscale.com/derp"
	"tailscale.com/envknob"
	"tailscale.com/net/wsconn"
	"tailscale.com/types/key"
)

const protocolName = "tailscale-control-protocol"

// h2conn sends requests on one HTTP/2 connection.
type h2conn struct{ c *http2.ClientConn }

func (h h2conn) Do(r *http.Request) (*http.Response, error) { return h.c.RoundTrip(r) }

// testControlWebSocket does what the browser's client does: controlbase and HTTP/2 over wsconn.
func testControlWebSocket(ctx context.Context, s server) error {
	machine := key.NewMachine()
	init, cont, err := controlbase.ClientDeferred(machine, s.Noise, 113)
	if err != nil {
		return err
	}
	query := url.Values{"X-Tailscale-Handshake": []string{base64.StdEncoding.EncodeToString(init)}}
	address := fmt.Sprintf("ws://127.0.0.1:%d/ts2021?%s", s.HTTP, query.Encode())
	ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{protocolName}})
	if err != nil {
		return err
	}
	conn, err := cont(ctx, wsconn.NetConn(context.Background(), ws, websocket.MessageBinary, address))
	if err != nil {
		return err
	}
	defer conn.Close()
	h2, err := (&http2.Transport{}).NewClientConn(conn)
	if err != nil {
		return err
	}
	res, b, err := post(ctx, h2conn{h2}, "/machine/map", "over WebSocket")
	if err != nil || string(b) != "over WebSocket" {
		return fmt.Errorf("%q, %v", b, err)
	}
	if got := res.Header.Get("X-Machine-Key"); got != machine.Public().String() {
		return fmt.Errorf("machine key %q", got)
	}
	_, b, err = post(ctx, h2conn{h2}, "/stream?100", "")
	if err != nil || len(b) != 100*100000 {
		return fmt.Errorf("stream: %d bytes, %v", len(b), err)
	}
	return nil
}

func testWebSocketProtocol(ctx context.Context, s server) error {
	init, _, err := controlbase.ClientDeferred(key.NewMachine(), s.Noise, 113)
	if err != nil {
		return err
	}
	query := url.Values{"X-Tailscale-Handshake": []string{base64.StdEncoding.EncodeToString(init)}}
	address := fmt.Sprintf("ws://127.0.0.1:%d/ts2021?%s", s.HTTP, query.Encode())
	ws, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	_, _, err = ws.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusPolicyViolation {
		return fmt.Errorf("close status %v, %v", got, err)
	}
	return nil
}

// testDERPWebSocket needs the build tag ts_debug_websockets.
func testDERPWebSocket(ctx context.Context, s server) error {
	envknob.Setenv("TS_DEBUG_DERP_WS_CLIENT", "true")
	defer envknob.Setenv("TS_DEBUG_DERP_WS_CLIENT", "false")
	a, aKey, err := newDERP(s)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Connect(ctx); err != nil {
		return err
	}
	envknob.Setenv("TS_DEBUG_DERP_WS_CLIENT", "false")
	b, bKey, err := newDERP(s)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Connect(ctx); err != nil {
		return err
	}
	if _, err := next[derp.ServerInfoMessage](b); err != nil {
		return err
	}
	for _, size := range []int{0, 1300, 30000, 64 << 10} {
		packet := make([]byte, size)
		rand.Read(packet)
		if err := a.Send(bKey, packet); err != nil {
			return err
		}
		m, err := next[derp.ReceivedPacket](b)
		if err != nil || m.Source != aKey || !bytes.Equal(m.Data, packet) {
			return fmt.Errorf("to the socket, %d bytes: %v", size, err)
		}
		if err := b.Send(aKey, packet); err != nil {
			return err
		}
		m, err = next[derp.ReceivedPacket](a)
		if err != nil || m.Source != bKey || !bytes.Equal(m.Data, packet) {
			return fmt.Errorf("to the WebSocket, %d bytes: %v", size, err)
		}
	}
	return nil
}
