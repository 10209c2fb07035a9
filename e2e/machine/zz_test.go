package machine_test
import ("testing";"time";"os";"latchkey/e2e/machine")
func TestZZRel(t *testing.T){
 for i,r:=range []string{"bullseye","trixie"} {
 start:=time.Now()
 tree,err:=machine.Tree(t.Context(),r,"",nil)
 if err!=nil{t.Error(err);continue}
 t.Log(r,"tree in",time.Since(start)); start=time.Now()
 m,err:=machine.Boot(t.Context(),machine.Options{Name:r,Tree:tree,Index:100+i})
 if err!=nil{t.Error(err);continue}
 t.Log(r,"boot in",time.Since(start)); start=time.Now()
 k:=addUser(t,m,"alice")
 t.Logf("%+v", mustSSH(t,m,"alice",k,"id; sudo -V | head -1; /usr/sbin/sshd -V"))
 testReboot(t,m)
 t.Log("stop", m.Stop())
 os.RemoveAll(tree); os.Remove(tree+".lock")
 }
}
