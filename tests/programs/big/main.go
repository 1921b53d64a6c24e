// Question: does start-up stay fast on a binary of real size?
//
// The program links the client of many cloud services and names their methods
// only at run time, so the linker has to keep every exported method of every
// reachable type: more than 150 000 functions, most of them never called.
//
// In behaviour it is truth in miniature. It prints "ready <pid>", links
// net/http/pprof without serving it, keeps 64 KiB in main.grow every 50 ms,
// collects once a second, and ends when stdin does.
package main

import (
	"fmt"
	"io"
	_ "net/http/pprof" // a profile reader: the runtime samples at its default rate
	"os"
	"reflect"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go/service/chime"
	"github.com/aws/aws-sdk-go/service/cloudfront"
	"github.com/aws/aws-sdk-go/service/codecommit"
	"github.com/aws/aws-sdk-go/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go/service/configservice"
	"github.com/aws/aws-sdk-go/service/connect"
	"github.com/aws/aws-sdk-go/service/databasemigrationservice"
	"github.com/aws/aws-sdk-go/service/datazone"
	"github.com/aws/aws-sdk-go/service/deadline"
	"github.com/aws/aws-sdk-go/service/ec2"
	"github.com/aws/aws-sdk-go/service/gamelift"
	"github.com/aws/aws-sdk-go/service/glue"
	"github.com/aws/aws-sdk-go/service/iam"
	"github.com/aws/aws-sdk-go/service/iot"
	"github.com/aws/aws-sdk-go/service/iotsitewise"
	"github.com/aws/aws-sdk-go/service/iotwireless"
	"github.com/aws/aws-sdk-go/service/kendra"
	"github.com/aws/aws-sdk-go/service/lexmodelsv2"
	"github.com/aws/aws-sdk-go/service/lightsail"
	"github.com/aws/aws-sdk-go/service/mediaconvert"
	"github.com/aws/aws-sdk-go/service/medialive"
	"github.com/aws/aws-sdk-go/service/omics"
	"github.com/aws/aws-sdk-go/service/pinpoint"
	"github.com/aws/aws-sdk-go/service/quicksight"
	"github.com/aws/aws-sdk-go/service/rds"
	"github.com/aws/aws-sdk-go/service/redshift"
	"github.com/aws/aws-sdk-go/service/s3"
	"github.com/aws/aws-sdk-go/service/s3control"
	"github.com/aws/aws-sdk-go/service/sagemaker"
	"github.com/aws/aws-sdk-go/service/securityhub"
	"github.com/aws/aws-sdk-go/service/ssm"
)

// One pointer a package is enough: its methods lead the linker to every request and reply.
var clients = []any{
	(*chime.Chime)(nil),
	(*cloudfront.CloudFront)(nil),
	(*codecommit.CodeCommit)(nil),
	(*cognitoidentityprovider.CognitoIdentityProvider)(nil),
	(*configservice.ConfigService)(nil),
	(*connect.Connect)(nil),
	(*databasemigrationservice.DatabaseMigrationService)(nil),
	(*datazone.DataZone)(nil),
	(*deadline.Deadline)(nil),
	(*ec2.EC2)(nil),
	(*gamelift.GameLift)(nil),
	(*glue.Glue)(nil),
	(*iam.IAM)(nil),
	(*iot.IoT)(nil),
	(*iotsitewise.IoTSiteWise)(nil),
	(*iotwireless.IoTWireless)(nil),
	(*kendra.Kendra)(nil),
	(*lexmodelsv2.LexModelsV2)(nil),
	(*lightsail.Lightsail)(nil),
	(*mediaconvert.MediaConvert)(nil),
	(*medialive.MediaLive)(nil),
	(*omics.Omics)(nil),
	(*pinpoint.Pinpoint)(nil),
	(*quicksight.QuickSight)(nil),
	(*rds.RDS)(nil),
	(*redshift.Redshift)(nil),
	(*s3.S3)(nil),
	(*s3control.S3Control)(nil),
	(*sagemaker.SageMaker)(nil),
	(*securityhub.SecurityHub)(nil),
	(*ssm.SSM)(nil),
}

const (
	growthBytes    = 64 << 10
	growthInterval = 50 * time.Millisecond
	gcInterval     = time.Second
	// keepAtMost bounds the growth of a run that nobody ends: 512 MiB.
	keepAtMost = 8192
)

var kept [][]byte

//go:noinline
func grow() []byte { return make([]byte, growthBytes) }

func main() {
	fmt.Println("ready", os.Getpid())
	// A name that the linker cannot know keeps all methods; nobody passes one.
	if len(os.Args) > 1 {
		for _, client := range clients {
			fmt.Println(reflect.ValueOf(client).MethodByName(os.Args[1]).IsValid())
		}
	}
	go allocate()
	io.Copy(io.Discard, os.Stdin)
}

func allocate() {
	grown := time.NewTicker(growthInterval)
	collect := time.NewTicker(gcInterval)
	for {
		select {
		case <-grown.C:
			if len(kept) < keepAtMost {
				kept = append(kept, grow())
			}
		case <-collect.C:
			runtime.GC()
		}
	}
}
