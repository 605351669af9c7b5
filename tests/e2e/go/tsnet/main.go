// A program with Tailscale inside (tailscale.com/tsnet): joins, serves a page in the tailnet, and
// fetches one from a peer.
//
// usage: tsnet FOLDER CONTROL_URL AUTH_KEY HOSTNAME URL
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"tailscale.com/tsnet"
)

func main() {
	server := &tsnet.Server{
		Dir: os.Args[1], ControlURL: os.Args[2], AuthKey: os.Args[3], Hostname: os.Args[4],
		Logf: func(string, ...any) {},
	}
	listener, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	client, err := server.LocalClient()
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := client.WhoIs(r.Context(), r.RemoteAddr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s of %s", who.Node.ComputedName, who.UserProfile.LoginName)
	}))
	answer, err := server.HTTPClient().Get(os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("fetched %s\n", body)
	select {}
}
