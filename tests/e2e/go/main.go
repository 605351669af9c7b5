// Real Tailscale clients against our protocol rooms: the control connection (Noise, HTTP/2), DERP
// and STUN, as this module's tailscale.com version implements them. Where they disagree with our
// facts, they are right.
//
// usage: client PROTOCOL_SERVER_PROGRAM
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/types/key"
)

type server struct {
	HTTP  int               `json:"http"`
	STUN  int               `json:"stun"`
	Noise key.MachinePublic `json:"noise"`
	DERP  key.NodePublic    `json:"derp"`
}

func (s server) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", s.HTTP, path) }

// doer sends one request over a control connection.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: client PROTOCOL_SERVER_PROGRAM")
	}
	cmd := exec.Command(os.Args[1])
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var s server
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err != nil {
		log.Fatalf("server: %v: %s", err, stderr.String())
	}

	failed := 0
	for _, t := range []struct {
		name string
		run  func(context.Context, server) error
	}{
		{"control: requests over Noise and HTTP/2", testControl},
		{"control: a 50 MB answer through Go's flow control", testControlStream},
		{"control: fifty requests at once on one connection", testControlConcurrent},
		{"control: another server key is refused", testControlWrongKey},
		{"derp: packets, ping, peer gone", testDERP},
		{"derp: ten thousand packets keep their order", testDERPBurst},
		{"derp: refused without admission", testDERPRefused},
		{"derp: mesh frames end the connection", testDERPMesh},
		{"control over WebSocket: requests, and a 10 MB answer", testControlWebSocket},
		{"control over WebSocket: refused without the sub-protocol", testWebSocketProtocol},
		{"derp over WebSocket: packets both ways", testDERPWebSocket},
		{"stun: the mapped address", testSTUN},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		start := time.Now()
		err := t.run(ctx, s)
		cancel()
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", t.name, err)
		} else {
			fmt.Printf("ok   %s (%v)\n", t.name, time.Since(start).Round(time.Millisecond))
		}
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		failed++
		fmt.Printf("FAIL the server ended with %v\n%s\n", err, stderr.String())
	}
	if failed > 0 {
		fmt.Print(stderr.String())
		os.Exit(1)
	}
}

func quiet(string, ...any) {}

func post(ctx context.Context, c doer, path, body string) (*http.Response, []byte, error) {
	// The control client turns http into https for its own transport; the host is not used.
	req, err := http.NewRequestWithContext(ctx, "POST", "https://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func testControl(ctx context.Context, s server) error {
	machine := key.NewMachine()
	c, done, err := newControl(s, machine, s.Noise)
	if err != nil {
		return err
	}
	defer done()
	for _, size := range []int{0, 1, 5000, 900000} {
		body := strings.Repeat("x", size)
		res, b, err := post(ctx, c, "/machine/register?n=1", body)
		if err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		if string(b) != body {
			return fmt.Errorf("size %d: got %d bytes back", size, len(b))
		}
		if got := res.Header.Get("X-Machine-Key"); got != machine.Public().String() {
			return fmt.Errorf("machine key %q", got)
		}
		if got := res.Header.Get("X-Path"); got != "/machine/register?n=1" {
			return fmt.Errorf("path %q", got)
		}
	}
	res, _, err := post(ctx, c, "/", strings.Repeat("x", 2<<20))
	if err == nil && res.StatusCode != 413 {
		return fmt.Errorf("a body above the limit got %v", res.Status)
	}
	// The connection lives on.
	_, b, err := post(ctx, c, "/", "after")
	if err != nil || string(b) != "after" {
		return fmt.Errorf("after a refused body: %q, %v", b, err)
	}
	return nil
}

func testControlStream(ctx context.Context, s server) error {
	c, done, err := newControl(s, key.NewMachine(), s.Noise)
	if err != nil {
		return err
	}
	defer done()
	_, b, err := post(ctx, c, "/stream?500", "")
	if err != nil {
		return err
	}
	if len(b) != 500*100000 || strings.Trim(string(b), "s") != "" {
		return fmt.Errorf("got %d bytes", len(b))
	}
	return nil
}

func testControlConcurrent(ctx context.Context, s server) error {
	c, done, err := newControl(s, key.NewMachine(), s.Noise)
	if err != nil {
		return err
	}
	defer done()
	errs := make(chan error, 50)
	for i := range 50 {
		go func() {
			body := strings.Repeat(fmt.Sprint(i), 10000)
			_, b, err := post(ctx, c, "/", body)
			if err == nil && string(b) != body {
				err = fmt.Errorf("request %d: wrong body", i)
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func testControlWrongKey(ctx context.Context, s server) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, done, err := newControl(s, key.NewMachine(), key.NewMachine().Public())
	if err != nil {
		return err
	}
	defer done()
	if _, _, err := post(ctx, c, "/", "x"); err == nil {
		return fmt.Errorf("a handshake with another server key passed")
	}
	return nil
}

func newDERP(s server) (*derphttp.Client, key.NodePublic, error) {
	priv := key.NewNode()
	c, err := derphttp.NewClient(priv, s.url("/derp"), quiet, netmon.NewStatic())
	return c, priv.Public(), err
}

// next skips what is not a T.
func next[T derp.ReceivedMessage](c *derphttp.Client) (T, error) {
	for {
		m, err := c.Recv()
		if err != nil {
			var zero T
			return zero, err
		}
		if t, ok := m.(T); ok {
			return t, nil
		}
	}
}

func testDERP(ctx context.Context, s server) error {
	a, aKey, err := newDERP(s)
	if err != nil {
		return err
	}
	b, bKey, err := newDERP(s)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.Connect(ctx); err != nil {
		return err
	}
	if err := b.Connect(ctx); err != nil {
		return err
	}
	if a.ServerPublicKey() != s.DERP {
		return fmt.Errorf("server key %v", a.ServerPublicKey())
	}
	a.NotePreferred(true)
	// Connect returns when ClientInfo is sent; ServerInfo says that b is registered.
	if _, err := next[derp.ServerInfoMessage](b); err != nil {
		return err
	}
	for _, size := range []int{0, 1, 1300, 64 << 10} {
		packet := make([]byte, size)
		rand.Read(packet)
		if err := a.Send(bKey, packet); err != nil {
			return err
		}
		m, err := next[derp.ReceivedPacket](b)
		if err != nil {
			return err
		}
		if m.Source != aKey || !bytes.Equal(m.Data, packet) {
			return fmt.Errorf("size %d: got %d bytes from %v", size, len(m.Data), m.Source)
		}
	}
	if err := b.SendPing([8]byte{1, 2, 3}); err != nil {
		return err
	}
	pong, err := next[derp.PongMessage](b)
	if err != nil || pong != (derp.PongMessage{1, 2, 3}) {
		return fmt.Errorf("pong %v, %v", pong, err)
	}
	// A disco packet to nobody.
	disco := append([]byte("TS\xf0\x9f\x92\xac"), make([]byte, 60)...)
	nobody := key.NewNode().Public()
	if err := b.Send(nobody, disco); err != nil {
		return err
	}
	gone, err := next[derp.PeerGoneMessage](b)
	if err != nil || gone.Peer != nobody || gone.Reason != derp.PeerGoneReasonNotHere {
		return fmt.Errorf("not here: %v, %v", gone, err)
	}
	a.Close()
	gone, err = next[derp.PeerGoneMessage](b)
	if err != nil || gone.Peer != aKey || gone.Reason != derp.PeerGoneReasonDisconnected {
		return fmt.Errorf("disconnected: %v, %v", gone, err)
	}
	return nil
}

func testDERPBurst(ctx context.Context, s server) error {
	a, _, err := newDERP(s)
	if err != nil {
		return err
	}
	defer a.Close()
	b, bKey, err := newDERP(s)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.Connect(ctx); err != nil {
		return err
	}
	if err := b.Connect(ctx); err != nil {
		return err
	}
	if _, err := next[derp.ServerInfoMessage](b); err != nil {
		return err
	}
	// A window, so that the relay's bounded queue is not the test.
	const count, window = 10000, 40
	credit := make(chan struct{}, window)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Add(1)
	go func() {
		defer wg.Done()
		packet := make([]byte, 1300)
		for i := range count {
			select {
			case credit <- struct{}{}:
			case <-ctx.Done():
				return
			}
			packet[0], packet[1] = byte(i>>8), byte(i)
			if a.Send(bKey, packet) != nil {
				return
			}
		}
	}()
	start := time.Now()
	for i := range count {
		m, err := next[derp.ReceivedPacket](b)
		if err != nil {
			return err
		}
		if got := int(m.Data[0])<<8 | int(m.Data[1]); got != i {
			return fmt.Errorf("packet %d came in the place of %d", got, i)
		}
		<-credit
	}
	fmt.Printf("     %.0f packets/s with a window of %d\n", count/time.Since(start).Seconds(), window)
	return nil
}

func setAdmission(s server, what string) error {
	res, err := http.Post(s.url("/test/admit/"+what), "text/plain", nil)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		return fmt.Errorf("admit: %v", res.Status)
	}
	return nil
}

func testDERPRefused(ctx context.Context, s server) error {
	if err := setAdmission(s, "no"); err != nil {
		return err
	}
	defer setAdmission(s, "yes")
	a, _, err := newDERP(s)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Connect(ctx); err != nil {
		return nil
	}
	if m, err := a.Recv(); err == nil {
		return fmt.Errorf("got %T", m)
	}
	return nil
}

func testDERPMesh(ctx context.Context, s server) error {
	a, _, err := newDERP(s)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Connect(ctx); err != nil {
		return err
	}
	if err := a.ClosePeer(key.NewNode().Public()); err != nil {
		return err
	}
	for {
		if _, err := a.Recv(); err != nil {
			return nil
		}
	}
}

func testSTUN(_ context.Context, s server) error {
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", s.STUN))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	id := stun.NewTxID()
	if _, err := conn.Write(stun.Request(id)); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		return err
	}
	gotID, addr, err := stun.ParseResponse(buf[:n])
	if err != nil {
		return err
	}
	if want := netip.MustParseAddrPort(conn.LocalAddr().String()); gotID != id || addr != want {
		return fmt.Errorf("%v, want %v", addr, want)
	}
	return nil
}
